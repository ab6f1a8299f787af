"""OpenSlot connector for Acme Scheduling, a made-up vendor."""

from openslot_acme.connector import AcmeConnector, AcmeSettings

__all__ = ["AcmeConnector", "AcmeSettings"]
