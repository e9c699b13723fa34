; r9 is lost where the run is taken over, as it is known to be 0 where it is read
;! budget 56
;! r1 0xffff
L0:
    rsh r9, -1
    mov r7, 0
    movsx8 r3, r9
    jsle r1, 0, L11
    mov r7, 0
    mov r7, 0
    mov r7, 0
    call 0xf0
    lock fetch and32 [r10-64], r7
    mov r5, 0
    mov r5, 0
L11:
    ja L0
