; Two halves that one register holds are saved as one word, and told as two where the run is taken over.
;! budget 4
    call local fn_2
    exit
fn_2:
    mov32 r6, r3
    mov32 r8, r3
    call local fn_8
    sub r0, r8
    xor r0, r6
    exit
fn_8:
    exit
