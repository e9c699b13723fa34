; found in an engine made wrong on purpose: a fault elsewhere
;! budget 16
fn_0:
    mov r7, 0
    call local fn_0
    exit
