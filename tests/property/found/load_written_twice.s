; the load that r6 needs was written before r1, and then again for its own sake
;! budget 1
    lsh r1, r0
    ldxb r6, [r8+0]
    and32 r6, r0
    mov r0, 0
    stxdw [r10+0], r6
    stxdw [r10+0], r1
    exit
