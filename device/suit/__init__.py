"""Signed updates (suit.md): keys, COSE, strict CBOR, manifests, plan, install.

envelope ──verify──▶ manifest ──plan──▶ operations ──install──▶ slots and sequence number

wire                 the two formats as tables: which integer means what
keys, trust          who may sign, and what
identity             whom an update is for
cbor, values         strict decoding, and the types of the grammar
cose, envelope       signatures, before anything of a manifest is looked at
sequences            every command read and checked, also what is not going to be run
processor, plan      what they come to on this device
capabilities         what a program is granted
uri                  where a device may fetch from
host, fetching       what an update depends on beside its bytes: programs, bounds, files
images, install      fetch, check, commit
console, progress    what is said of it
refusals             every class of refusal, with its codes and advice
build                the publisher's side
"""
