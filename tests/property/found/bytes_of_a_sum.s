; in a loop, a sum of which a byte order instruction keeps what fits is not a sum any more
;! budget 1
L0:
    add r7, 1
    le64 r7
    jsgt r8, 0, L0
