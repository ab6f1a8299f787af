"""OpenSlot connector for Tidewell, a made-up scheduling system."""
