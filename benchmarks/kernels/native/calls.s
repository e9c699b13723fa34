@ What native kernels that call helpers need: the guest's stack, which helpers may write to, and the calls.
@ A request is its number in word 0 of the mailbox, operands are halves of 64-bit numbers from word 12 on.
    .syntax unified
    .thumb

    .set MAILBOX, 0x0f000000
    .set OPERANDS, 4 * 12
    .set STACK_TOP, 0x20101000

    .section .text.on_guest_stack, "ax", %progbits
    .global on_guest_stack
    .type on_guest_stack, %function
on_guest_stack:
    push {r4, lr}
    mov r4, sp
    ldr r12, =STACK_TOP
    mov sp, r12
    bl kernel
    mov sp, r4
    pop {r4, pc}
    .ltorg

    .macro helper name, number
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
\name:
    mov r12, #MAILBOX
    movs r3, #0
    str r0, [r12, #OPERANDS]
    str r3, [r12, #OPERANDS + 4]
    str r1, [r12, #OPERANDS + 8]
    str r3, [r12, #OPERANDS + 12]
    movs r3, #\number
    str r3, [r12]
    svc #0
    ldr r0, [r12, #OPERANDS]
    bx lr
    .endm

    helper bpf_store_global, 0x11
    helper bpf_fetch_global, 0x13
    helper bpf_strlen, 0x52
