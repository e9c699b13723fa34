; found in an engine made wrong on purpose: jset32 is jset
;! budget 2
    lddw r9, 0xffffffff00000000
    jset32 r9, -3, L4
    ja L4
L4:
    exit
