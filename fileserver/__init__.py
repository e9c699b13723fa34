"""The CoAP file server and device directory."""
