; found in an engine made wrong on purpose: arsh32 is rsh32
;! budget 3
    lddw r5, 0x1ffffffff
    arsh32 r5, 1
    stxdw [r10-24], r5
    exit
