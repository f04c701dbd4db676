"""Bech32 (BIP 173) as age uses it: no length limit, the human part may end in digits and dashes.

Rules: one case throughout; the checksum covers the human part; padding bits are zero and fewer than five.
"""

from agent.contract.age_format.errors import KeyTextError

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH = 6


def encode(human: str, data: bytes) -> str:
    """Return `data` as lower-case Bech32 with the lower-case human part `human`."""
    values = _regroup(data, 8, 5, pad=True)
    checksum = _polymod(_expand(human) + values + [0] * _CHECKSUM_LENGTH) ^ 1
    values += [(checksum >> 5 * (5 - i)) & 31 for i in range(_CHECKSUM_LENGTH)]
    return human + "1" + "".join(_ALPHABET[value] for value in values)


def decode(text: str) -> tuple[str, bytes]:
    """Return (human part as written, data).

    Raises:
        KeyTextError: mixed case, a foreign letter, a wrong checksum or dirty padding.
    """
    lowered = text.lower()
    if text not in (lowered, text.upper()):
        raise KeyTextError("key text mixes upper and lower case; copy it again")
    separator = lowered.rfind("1")
    human, letters = lowered[:separator], lowered[separator + 1 :]
    if separator < 1 or len(letters) < _CHECKSUM_LENGTH or not all(33 <= ord(letter) <= 126 for letter in human):
        raise KeyTextError("key text is not bech32: no separator or too short; copy it again")
    if any(letter not in _VALUES for letter in letters):
        raise KeyTextError("key text holds a letter that bech32 does not have; copy it again")
    values = [_VALUES[letter] for letter in letters]
    if _polymod(_expand(human) + values) != 1:
        raise KeyTextError("key text has a wrong checksum: a letter was mistyped or is missing; copy it again")
    return text[:separator], bytes(_regroup(values[:-_CHECKSUM_LENGTH], 5, 8, pad=False))


def _expand(human: str) -> list[int]:
    return [ord(letter) >> 5 for letter in human] + [0] + [ord(letter) & 31 for letter in human]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATOR):
            if top >> i & 1:
                checksum ^= generator
    return checksum


def _regroup(data: bytes | list[int], from_bits: int, to_bits: int, *, pad: bool) -> list[int]:
    accumulator, bits, groups = 0, 0, []
    for value in data:
        accumulator = accumulator << from_bits | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            groups.append(accumulator >> bits)
            accumulator &= (1 << bits) - 1
    if pad:
        return [*groups, accumulator << (to_bits - bits)] if bits else groups
    if bits >= from_bits or accumulator:
        raise KeyTextError("key text has dirty padding: it was not written by an age tool; ask for it again")
    return groups
