"""Signed updates (suit.md): keys, COSE, strict CBOR, manifests, plan, install.

envelope ──verify──▶ manifest ──plan──▶ operations ──install──▶ slots and sequence number

keys, identity      who may sign; whom an update is for
cbor, envelope      strict decoding; signatures, before anything of a manifest is looked at
wire, plan, uri     the integers of the format; what an update will do; where it may fetch from
install             fetch, check, commit
refusals            every class of refusal, with its codes and advice
build               the publisher's side
"""
