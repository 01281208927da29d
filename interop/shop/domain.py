"""A shop whose orders are handled by Protean's engine and by ours, in one consumer group.

CALLS names the file to which each call of the handler adds a line, SHOP_SECONDS
says how long a call takes.
"""

import json
import os
import time

from protean import Domain, handle
from protean.fields import Identifier

domain = Domain(name="Shop")


@domain.aggregate
class Order:
    order_id = Identifier(identifier=True)


@domain.event(part_of="Order")
class OrderPlaced:
    order_id = Identifier(required=True)


@domain.event_handler(part_of=Order)
class OrderMailer:
    @handle(OrderPlaced)
    def mail(self, event):
        time.sleep(float(os.environ.get("SHOP_SECONDS", "0")))
        line = json.dumps({"id": event.order_id}) + "\n"
        calls = os.open(os.environ["CALLS"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        os.write(calls, line.encode())
        os.close(calls)
