/* marks: what the rules of a gateway and the programs that carry open flows
 * (gateway/carry.bpf.c) say to each other on a packet. For both compilers: no includes.
 */
#ifndef PX_MARKS_H
#define PX_MARKS_H

/* By the programs: */
#define PX_MARK_PROVEN  0x7079 /* the last packet of a handshake with the store */
#define PX_MARK_RESUMED 0x707a /* of a flow in which the store has answered */
#define PX_MARK_OURS    0x707b /* of a connection that ends on the gateway itself */
/* By the rules: let in, and translated; for public address 0, and so on. */
#define PX_MARK_INWARD 0x7080

#endif
