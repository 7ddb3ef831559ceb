"""The durable outbox and the ways out of it: RabbitMQ and files."""
