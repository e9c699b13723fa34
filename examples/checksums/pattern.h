/*
 * The test text of the checksums: byte i is 48 + (7·i mod 75), which begins anew after 75 bytes. The
 * programs cut it at a length and put a tail behind that steers the sum.
 */
#define PATTERN "07>ELSZahov29@GNU\\cjqx4;BIPW^elsz6=DKRY`gnu18?FMT[bipw3:AHOV]dkry5<CJQX_fmt"
#define PATTERN_4 PATTERN PATTERN PATTERN PATTERN
#define PATTERN_16 PATTERN_4 PATTERN_4 PATTERN_4 PATTERN_4
