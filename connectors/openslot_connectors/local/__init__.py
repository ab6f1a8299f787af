"""The practice engine that OpenSlot brings along, as a connector."""
