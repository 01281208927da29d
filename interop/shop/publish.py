"""Publishes the event of each order that the arguments name, in Protean's own format."""

import sys

from domain import Order, OrderPlaced, domain
from protean.utils.eventing import Message


def publish(order_ids):
    domain.init(traverse=False)
    with domain.domain_context():
        for order_id in order_ids:
            order = Order(order_id=order_id)
            order.raise_(OrderPlaced(order_id=order_id))
            for event in order._events:
                message = Message.from_domain_object(event)
                domain.brokers["default"].publish(message.metadata.domain.stream_category, message.to_dict())


if __name__ == "__main__":  # Protean imports every file beside the domain
    publish(sys.argv[1:])
