/* image: the base image of all nodes, and the layers of those roles that are scenery.
 *
 * DIR/image/HASH/root   minimal Debian 12 made by mmdebstrap from this machine's own
 * apt sources; HASH names the recipe, so a new recipe is a new image
 * DIR/image/HASH/keys   the operator's SSH key
 * DIR/image/HASH/role-NODE-HASH   what topology_node.packages adds on top */
#ifndef LAB_IMAGE_H
#define LAB_IMAGE_H

#include "common/err.h"

#include "state.h"
#include "topology.h"

#define IMAGE_CODENAME "bookworm"
#define IMAGE_KEYRING  "/usr/share/keyrings/debian-archive-keyring.gpg"

/* Sets lab->image to the name that the image has or would have. */
CM_MUSTUSE int image_name(struct lab *lab, struct cm_err *err);
/* Builds the base image unless it is there; sets lab->image. About 35 s. */
CM_MUSTUSE int image_ready(struct lab *lab, struct cm_err *err);
/* role.c: builds the layer of each scenery role unless it is there; needs the mirror.
 */
CM_MUSTUSE int image_roles_ready(struct lab *lab, struct cm_err *err);

/* Path of a role's layer for a node with packages. Caller frees. */
char *image_role_path(struct lab *lab, const char *image,
                      const struct topology_node *node);

#endif
