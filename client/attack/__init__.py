"""Attacks on a device of one's own: what it has to refuse, thrown at it (suit.md sections 12 and 13).

workshop    what forgeries are made of: a good manifest in its parts, the operator's key and a foreign one
outsiders   forgeries without the key: signatures, encodings, requests
insiders    what a careless or bribed holder of the key could sign
images      files that are not what was signed, and signed programs that may not run
drafts      the format of the current draft: what only that has, and what is not to be mixed
table       all of them, each with the refusal that it must meet
throw       one after the other onto a device, and what became of it
"""
