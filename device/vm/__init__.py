"""What a program is: instruction set, layouts, verifier, memory, helpers, engines.

    text ──asm──▶ slots ──disasm──▶ text
    bytes ──loader──▶ Program ──verifier──▶ Report
                         └──engine──▶ Outcome (r0, or a fault)

    isa, arithmetic         the one table of instructions; what they compute
    asm, operands, disasm   text of programs to slots (operands is the assembler's), and back
    elf, elf_format, link   objects: read (elf), field by field (elf_format), placed and relocated (link)
    entry, debuginfo        where a program begins; source lines of its instructions
    loader, layouts/        bytes of any layout to a Program
    writer, elf_builder     the images that are deployed
    program, memory, ports  the values that flow; guest memory; what a run needs from outside
    verifier/, lint/        what may run; what would misbehave on real machines
    profiles                the rules and helpers of each original
    engines, switch         which engines there are; the plain one, over decode's prepared steps
    interpreter/            the fast one; analysis/ is what it knows of a program
    helpers/                what programs can call
    faults, advice          how a run ends when it ends badly; what to say of it
    reference               the documentation page

Nothing here knows of CoAP, signatures or the simulated machine of the JIT.
"""
