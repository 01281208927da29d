"""Appends the event of each account that the arguments name to the event store."""

import sys

from domain import Account, Deposited, domain


def append(account_ids):
    domain.init(traverse=False)
    with domain.domain_context():
        for account_id in account_ids:
            account = Account(account_id=account_id)
            account.raise_(Deposited(account_id=account_id))
            for event in account._events:
                domain.event_store.store.append(event)


if __name__ == "__main__":  # Protean imports every file beside the domain
    append(sys.argv[1:])
