"""What a device keeps: slots, sequence number, key-value stores, state directory."""
