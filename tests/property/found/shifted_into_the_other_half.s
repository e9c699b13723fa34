; seed 20261121, layer sequences, trial 14047
; A shift by 32 gave the high half what the low one was, and both were taken for the same behind it.
;! budget 8
;! context f424506e78 writable
    ldxw r9, [r1+0]
    lsh r9, 32
    mov32 r5, r9
    jne r9, r5, L5
    mov r9, 0
L5:
    stxw [r10+0], r9
    stxdw [r10+0], r5
    exit
