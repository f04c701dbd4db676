"""Counts the sound streams in every sealed file of a demo site; there must be none (R-AUDIO)."""

from io import BytesIO

import av
from demo_site import Site

from agent.contract.errors import PoleAgentError
from center.config import load_config
from center.custodian.keyring import Keyring
from center.custodian.opening import Custodian, Request
from center.store.store import Store


def count_sound_streams(site: Site) -> tuple[int, list[str]]:
    """Open every sealed file of center and spool and count its sound streams; also what would not open.

    Each opening is a row in the center's ledger; the clear bytes stay in memory.
    """
    center = load_config(site.center_config)
    store = Store(center.database)
    custodian = Custodian(store, Keyring(center.custodian.key_dir), center.objects_dir)
    request = Request(officer="demo", reason="automatic check for sound (R-AUDIO)", kind="use")
    count, errors = 0, []
    try:
        for path in sorted([*center.objects_dir.rglob("*.mp4.age"), *site.spool.rglob("*.mp4.age")]):
            try:
                clear = BytesIO(b"".join(custodian.open_file(path, request).chunks()))
                with av.open(clear) as video:
                    count += len(video.streams.audio)
                    if len(video.streams) != 1:
                        errors.append(f"{path.name} holds {len(video.streams)} streams")
            except (PoleAgentError, OSError) as error:
                errors.append(f"{path.name} does not open: {error}")
    finally:
        store.close()
    return count, errors
