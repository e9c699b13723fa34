; A function where it is called has registers of its own, and they too are read: no shift goes down past that.
;! budget 9
    call local fn_2
    exit
fn_2:
    mov r9, 1
    mov r7, 1
    lsh32 r9, 1
    and r7, r9
    add32 r0, r9
    mov r0, r7
    exit
