; A function that falls into another, which it also calls, is left when the budget ends in the callee.
;! budget 4
    call local fn_1
fn_1:
    mov32 r6, r3
    mov32 r8, r3
    call local fn_4
fn_4:
    mov r0, 0
