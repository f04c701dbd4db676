"""Sealed files: the plain age v1 format (C2SP), written and read by our own code over `cryptography`.

Any age tool opens what `AgeWriter` writes; see docs/contract/sealed-file.md.
"""

from agent.contract.age_format.errors import ArmorError as ArmorError
from agent.contract.age_format.errors import HeaderError as HeaderError
from agent.contract.age_format.errors import HeaderMacError as HeaderMacError
from agent.contract.age_format.errors import KeyTextError as KeyTextError
from agent.contract.age_format.errors import NoMatchError as NoMatchError
from agent.contract.age_format.errors import PayloadError as PayloadError
from agent.contract.age_format.errors import TornFileError as TornFileError
from agent.contract.age_format.errors import TornHeaderError as TornHeaderError
from agent.contract.age_format.header import Header as Header
from agent.contract.age_format.header import Stanza as Stanza
from agent.contract.age_format.keys import generate_hybrid_identity as generate_hybrid_identity
from agent.contract.age_format.keys import generate_identity as generate_identity
from agent.contract.age_format.keys import parse_identity as parse_identity
from agent.contract.age_format.keys import parse_identity_file as parse_identity_file
from agent.contract.age_format.keys import parse_recipient as parse_recipient
from agent.contract.age_format.keys import recipient_id as recipient_id
from agent.contract.age_format.reader import AgeReader as AgeReader
from agent.contract.age_format.reader import open_age as open_age
from agent.contract.age_format.reader import read_header as read_header
from agent.contract.age_format.recipients import Identity as Identity
from agent.contract.age_format.recipients import PassphraseIdentity as PassphraseIdentity
from agent.contract.age_format.recipients import Recipient as Recipient
from agent.contract.age_format.writer import CHUNK_BYTES as CHUNK_BYTES
from agent.contract.age_format.writer import AgeWriter as AgeWriter
from agent.contract.age_format.writer import wrap_file_key as wrap_file_key
