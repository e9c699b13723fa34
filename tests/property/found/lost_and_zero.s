; r9 is not kept, as all that is done to it is an and with 0, which gives a number all the same
;! budget 24
    mov r3, 0
    mov r2, 0
    mov32 r0, 2
    mov r6, 0
L4:
    mov r4, 0
    mov r4, 0
    mov r9, 0
    mov r4, 0
    mov r6, 0
    add32 r0, -1
    jgt32 r0, 0, L4
    mov r2, 0
    mov r7, 0
    mov r7, 0
    and r9, 0
    add r9, r7
    lock xchg [r9+0], r8
    stxdw [r10+0], r6
