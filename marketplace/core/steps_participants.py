"""Steps of ParticipantRegistry: whose node is whose, and who vouches for whom. Pure."""

from __future__ import annotations

from marketplace.core.events import AccreditationSet, IssuerSet, NodeSet
from marketplace.core.ledger import Accreditation, History, Ledger, Node
from marketplace.core.steps import same


def on_node(ledger: Ledger, event: NodeSet) -> None:
    history = ledger.nodes.get(event.participant) or History(Node())
    before = history.now()
    changed = event.sealing_key != before.sealing_key
    same("a new sealing key, and only that, starts an epoch", before.epoch + changed, event.epoch)
    history.put(event.at, Node(event.node, event.sealing_key, event.epoch, event.isolation))
    ledger.nodes[event.participant] = history


def on_issuer(ledger: Ledger, event: IssuerSet) -> None:
    ledger.issuers.setdefault((event.role, event.issuer), History(False)).put(event.at, event.trusted)


def on_accredited(ledger: Ledger, event: AccreditationSet) -> None:
    issuer = ledger.issuers.get((event.role, event.issuer))
    same("only a trusted issuer accredits", True, bool(issuer and issuer.now()))
    history = ledger.accreditations.setdefault((event.account, event.role), History(Accreditation()))
    history.put(event.at, Accreditation(event.issuer, event.valid_until))
