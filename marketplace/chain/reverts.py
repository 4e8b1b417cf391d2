"""Why a contract refused, for a person: every custom error of ours in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_utils.abi import abi_to_signature
from eth_utils.crypto import keccak

from marketplace.chain.contracts import CONTRACTS, artifact, decode_values
from marketplace.core.ids import Status
from marketplace.core.job import State
from marketplace.core.readable import day, euros, instant
from marketplace.errors import IntegrityError, RefusedError

_BUILT_IN: tuple[dict[str, Any], ...] = (
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)

# Name of the error: what happened, what to do. Braces take the error's own values.
SENTENCES: Mapping[str, tuple[str, str | None]] = {
    "AssetRegistry_AlreadyPublished": ("this asset is already published", "Publish under another salt."),
    "AssetRegistry_NotCredits": (
        "only the credits contract publishes models",
        "Register the model of a settled job instead.",
    ),
    "AccessManagedUnauthorized": (
        "{caller} does not have the power to do this",
        "The pauser pauses, the registrar trusts issuers, the governor announces a successor.",
    ),
    "AccessManagerNotScheduled": (
        "this step was not announced ahead",
        "Announce it, then wait for its delay.",
    ),
    "AccessManagerNotReady": ("this step was announced, but its delay is not over", "Try again later."),
    "AssetRegistry_NotActive": ("the dataset is {status}", "Its owner may resume it, unless it is retired."),
    "AssetRegistry_NotOwner": ("only the asset's owner may do this", None),
    "AssetRegistry_Paused": ("publishing is stopped for now", "Try again when the pauser has resumed it."),
    "AssetRegistry_WrongKind": (
        "kind {kind} cannot be published",
        "Publish a dataset (1) or an algorithm (2); models come from settled jobs.",
    ),
    "ContributionCredits_NotBuyer": ("only the job's buyer may register its model", None),
    "ContributionCredits_NotSettled": (
        "only a settled job can register its model, and this one is {state}",
        "Accept it, or wait until its window is over and finalise it.",
    ),
    "ContributionCredits_WrongRegistry": (
        "the asset registry was deployed for other credits",
        "Deploy again.",
    ),
    "Market_BadDuration": (
        "{got} seconds are no window, job time or dispute time",
        "Choose 1 to {max} seconds.",
    ),
    "Market_BadRecipient": ("money cannot be sent to {to}", "Name an account of your own."),
    "Market_FeeTooHigh": ("a failure fee of {bps} basis points is too high", "Offer at most {max}."),
    "Market_FieldNotEnforced": (
        "the offer sets {field}, which the market does not enforce yet",
        "Sign an offer that leaves it zero.",
    ),
    "Market_GrantEnded": (
        "this access has ended, its last day was {lastDay}",
        "Claim unused uses back; buy anew.",
    ),
    "Market_GrantNotEnded": (
        "this access lasts until the end of {lastDay} (UTC)",
        "Unused uses can be claimed back after that day.",
    ),
    "Market_BondLeavesLater": ("the bond leaves after {leavesAt}", "Try again after it."),
    "Market_BondTooSmall": (
        "{provider} pledges {staked}, and {wanted} are wanted",
        "A provider fills it up by `steelyard bond deposit`.",
    ),
    "Market_FeeAboveBond": ("a judge's fee of {judgeFee} is more than the stake of {challengeBond}", None),
    "Market_JudgeIsParty": ("{judge} would judge its own case", "Sign an offer that names somebody else."),
    "Market_NoJudge": ("the offer names nobody who judges that", None),
    "Market_NoReasonToLeave": (
        "the access lasts, and its provider keeps its side",
        "Unused uses come back at its end.",
    ),
    "Market_NotAccredited": (
        "the offer asks for an accreditation that {buyer} does not have",
        "Ask one of the role's issuers for it.",
    ),
    "Market_NothingLeaves": ("nothing of the bond leaves", "Announce it: steelyard bond leave"),
    "Market_WrongGround": ("a fault can be disputed before the arbiter only", "Dispute it on `other`."),
    "Market_WrongJudge": ("{expected} judges this job, not {got}", None),
    "Market_WrongProvider": (
        "the offer's provider {got} does not own the asset, {owner} does",
        "Ask the owner for an offer.",
    ),
    "Market_WrongRuling": ("a verifier cannot split", "Pay or refund."),
    "ParticipantRegistry_NotIssuer": ("{caller} is not trusted with this role", None),
    "Market_NotAssetOwner": ("only the asset's owner may do this", None),
    "Market_NothingOwed": ("nothing is owed to {account}", None),
    "Market_NothingUnused": ("no unused uses are left to claim", None),
    "Market_NoUseLeft": ("all {jobsPaid} paid uses are spent", "Buy more uses."),
    "Market_NoUses": ("a purchase needs at least one use", None),
    "Market_OfferExpired": ("the offer ended at {validUntil}", "Ask the provider for a new one."),
    "Market_Paused": (
        "buying and opening jobs are stopped for now",
        "Try again when the pauser has resumed it; every way out stays open.",
    ),
    "Market_TermTooLong": ("the offer's term is too long", "Ask the provider for a shorter one."),
    "Market_TooEarly": ("the job's deadline is {until}", "Try again after it."),
    "Market_TooLate": (
        "the job's deadline was {until}",
        "Anyone may now expire the job: the buyer is refunded.",
    ),
    "Market_TooManyUses": ("{wanted} uses are more than the offer allows", "Hold at most {max} paid uses."),
    "Market_WrongBuyer": ("this is {expected}'s to do, not {got}'s", None),
    "Market_WrongEpoch": (
        "the offer was withdrawn: it is of epoch {got}, the asset's is {expected}",
        "Ask the provider for a new one.",
    ),
    "Market_WrongIndex": (
        "the next job has index {expected}, not {got}",
        "Read the grant again, then repeat.",
    ),
    "Market_WrongKeyDigest": ("the wrapped key is not the one that the receipt names", None),
    "Market_WrongNode": (
        "{got} is not the provider's node; it is {expected}",
        "Run the node that the provider registered, or register this one.",
    ),
    "Market_WrongOffer": ("this is not the offer that the job was bought under", None),
    "Market_WrongSigner": ("signed by {got}, where {expected} had to sign", "Ask for a new signature."),
    "Market_WrongState": ("the job is {state}, and this cannot be done to it", None),
    "TestEuro_NotADevelopmentChain": (
        "test euros exist on development chains only",
        "Deploy with the address of a real token.",
    ),
    "ERC20InsufficientAllowance": (
        "the market may take {allowance}, and {needed} are needed",
        "Approve the amount, or buy with a permit.",
    ),
    "ERC20InsufficientBalance": (
        "{sender} holds {balance}, and {needed} are needed",
        "Fund the account.",
    ),
    "ERC2612ExpiredSignature": ("the permit has expired", "Sign a new one."),
    "ERC721IncorrectOwner": ("the asset belongs to {owner}, not to {sender}", None),
    "ERC721InsufficientApproval": ("{operator} may not move this asset", None),
    "ERC721NonexistentToken": (
        "there is no asset {tokenId}",
        "Check its id, and that its listing is confirmed.",
    ),
    "SafeERC20FailedOperation": ("the token {token} refused to move money", None),
    "Error": ("the contract refused: {message}", None),
    "Panic": ("the contract failed with panic code {code}", None),
}


@dataclass(frozen=True)
class Revert:
    """A custom error and its values. name: empty where the contract gave no reason, 0x-hex where it is unknown."""

    name: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_show(name, value)}" for name, value in self.values.items())
        return f"{self.name}({shown})"


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    entries = [entry for name in CONTRACTS for entry in artifact(name).abi if entry["type"] == "error"]
    return {keccak(text=abi_to_signature(entry))[:4]: entry for entry in (*entries, *_BUILT_IN)}  # type: ignore[arg-type]


def parse_revert(data: bytes) -> Revert:
    """What a contract reverted with."""
    entry = _errors().get(data[:4])
    if entry is None:
        return Revert(f"0x{data[:4].hex()}" if data else "", {"data": data[4:]} if data else {})
    try:
        values = decode_values(entry["inputs"], data[4:], what=f"the error {entry['name']}")
    except IntegrityError:  # a contract that is not ours may give anything
        return Revert(entry["name"], {"data": data[4:]})
    return Revert(
        entry["name"], {item["name"]: value for item, value in zip(entry["inputs"], values, strict=True)}
    )


def refusal(what: str, data: bytes) -> RefusedError:
    """The error to raise. what: names the call, as "Market.buy". data: what the contract reverted with."""
    revert = parse_revert(data)
    if not revert.name:
        return RefusedError(f"{what} was refused", got="no reason", do="Check the contract's address.")
    sentence, do = SENTENCES.get(revert.name, (f"the contract refused: {revert}", None))
    values = _Shown({name: _show(name, value) for name, value in revert.values.items()})
    return RefusedError(
        f"{what} was refused: {sentence.format_map(values)}",
        got=str(revert),
        do=do.format_map(values) if do else None,
    )


class _Shown(dict[str, str]):
    """Values for a sentence; one that did not decode is a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


def _show(name: str, value: Any) -> str:
    if name in ("until", "validUntil", "leavesAt"):
        return instant(value)
    if name == "lastDay":
        return day(value) if value else "cancelled"
    if name in ("allowance", "balance", "needed", "staked", "wanted", "judgeFee", "challengeBond"):
        return euros(value)
    if name == "state":
        return State(value).name if value < len(State) else str(value)
    if name == "status":
        return Status(value).name if value < len(Status) else str(value)
    if name == "field":
        return str(value.rstrip(b"\0").decode("ascii", "replace"))
    return f"0x{value[:64].hex()}" if isinstance(value, bytes) else str(value)[:200]
