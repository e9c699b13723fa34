; a load of which nothing is left in the result may fault all the same
;! budget 2
    ldxsb r3, [r10+0]
    div r3, r6
