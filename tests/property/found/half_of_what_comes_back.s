; Who reads half of an argument register behind a call gets both, and a function where it is called needs both.
;! budget 1
;! entry 2
fn_0:
    xor r2, 0
    exit
    lddw r2, 0x1ffffffff
    call local fn_0
    call local fn_0
L6:
    call local fn_0
    jlt32 r8, 1, L6
    stxw [r10+0], r2
    exit
