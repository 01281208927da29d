"""A ledger whose events are read from Message-DB by Protean's engine and by ours, one after the other.

CALLS names the file to which each call of the handler adds a line.
"""

import json
import os

from protean import Domain, handle
from protean.fields import Identifier

domain = Domain(name="Ledger")


@domain.aggregate
class Account:
    account_id = Identifier(identifier=True)


@domain.event(part_of="Account")
class Deposited:
    account_id = Identifier(required=True)


@domain.event_handler(part_of=Account, subscription_type="event_store")
class AccountReport:
    @handle(Deposited)
    def deposited(self, event):
        line = json.dumps({"id": event.account_id}) + "\n"
        calls = os.open(os.environ["CALLS"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        os.write(calls, line.encode())
        os.close(calls)
