; a function that is called from code that only the exact tier executes gives r1 to r5 back too
;! budget 7
;! entry 1
fn_0:
    exit
    call local fn_0
    mov r1, 1
    call 0x61
    call local fn_0
    stxdw [r10-40], r1
