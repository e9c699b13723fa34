"""The CoAP resources: decode the request, call, encode the answer (api.md)."""
