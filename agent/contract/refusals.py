"""Why a pole refused a command, in words: the code travels in `CommandReply` and `CommandAudit`, the console shows it.

Rules: a code is never reused for another meaning; one line each, Korean and English.
"""

from collections.abc import Mapping
from typing import Literal

Refusal = Literal[
    "malformed",
    "header",
    "algorithm",
    "no-keys",
    "key-unknown",
    "signature",
    "issuer",
    "audience",
    "life",
    "nonce",
    "expired",
    "future",
    "replayed",
    "operation",
    "arguments",
    "role",
    "second-signature",
    "same-officer",
    "rate",
    "memory",
    "key-set",
]

REFUSALS: Mapping[Refusal, tuple[str, str]] = {
    "malformed": ("명령의 형식이 잘못됨", "it is not a command of the contract"),
    "header": ("서명 머리말이 규약과 다름", "its signature header is not the one of the contract"),
    "algorithm": ("허용되지 않은 서명 방식", "it is signed by another algorithm than EdDSA"),
    "no-keys": ("폴에 명령 키가 없음", "the pole has no command keys"),
    "key-unknown": ("등록되지 않은 키로 서명됨", "it is signed by a key that the pole does not know"),
    "signature": ("서명이 맞지 않음(위조로 볼 것)", "the signature is wrong; treat it as forged"),
    "issuer": ("서명자와 명령의 이름이 다름", "it claims another officer or role than its key has"),
    "audience": ("다른 폴로 보낸 명령", "it is for another pole"),
    "life": ("유효기간이 너무 긺", "it lives longer than allowed"),
    "nonce": ("확인 번호가 맞지 않음", "its nonce is not one the pole is waiting for"),
    "expired": ("유효기간이 지남", "it is too old"),
    "future": ("발행 시각이 미래임", "it was issued in the pole's future"),
    "replayed": ("이미 처리된 명령의 재전송", "it was judged before"),
    "operation": ("없는 작업", "there is no such operation"),
    "arguments": ("인수가 잘못됨", "the arguments are not those of the operation"),
    "role": ("권한 없는 역할", "the officer's role may not ask this"),
    "second-signature": ("두 번째 담당자의 서명이 필요함", "a second officer must sign"),
    "same-officer": ("두 서명이 같은 담당자의 것", "both signatures are one officer's"),
    "rate": ("허용 횟수 초과", "it was asked too often"),
    "memory": ("폴이 명령을 기록할 수 없음", "the pole cannot write down that it obeys"),
    "key-set": ("명령 키 목록이 거부됨", "a set of command keys was refused"),
}
