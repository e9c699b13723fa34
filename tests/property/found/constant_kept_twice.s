; seed 20261121, layer calls, trial 24900
; A constant was kept for the whole unit and for a loop in it, and a request in the loop took the first register.
;! budget 7
;! context 00 writable
    stxdw [r10-32], r1
    add r9, r1
L2:
    jsgt r4, r9, L4
    call 0x1
L4:
    jsgt r6, 0, L2
    sub r0, r9
    exit
