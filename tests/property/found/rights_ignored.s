; found in an engine made wrong on purpose: rights ignored
;! budget 2
;! region - writable
;! region 01 writable
;! region 98 read-only
;! region - read-only
;! region 0d86bca9028267 writable
;! region 8000000000000000 writable
;! region - writable
;! region ef read-only
;! region 0102030405060708090a0b0c0d0e0f101112131415161718 read-only
;! region 20000000000000 read-only
;! region ffffff7f000000000000000001000000 read-only
    lddw r8, 0x203a0000
    lock add [r8+0], r8
    exit
