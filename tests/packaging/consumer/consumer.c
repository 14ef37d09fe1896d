/* SPDX-License-Identifier: Apache-2.0
 * A program that somebody else builds against the installed library: a service, for a moment. */
#include <segue/segue.h>
#include <stdio.h>

static int freeze(void* user) {
  (void)user;
  return SEGUE_OK;
}
static void resume(void* user, segue_resume_reason reason, int released) {
  (void)user, (void)reason, (void)released;
}
static void activate(void* user, const segue_activation* activation) {
  (void)activation;
  *(int*)user = 1;
}
static void terminate(void* user, segue_end_reason reason) {
  (void)user, (void)reason;
}

int main(void) {
  const segue_options options = {.size = sizeof options, .service = "consumer", .version = "1"};
  const segue_callbacks callbacks = {.size = sizeof callbacks,
                                     .freeze = freeze,
                                     .resume = resume,
                                     .activate = activate,
                                     .terminate = terminate};
  char why[256] = "";
  int active = 0;
  segue_instance* instance = segue_open(&options, &callbacks, &active, why, sizeof why);
  if (instance == NULL) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  if (segue_start(instance) != SEGUE_OK) fprintf(stderr, "%s\n", segue_error(instance));
  printf("active %d\n", active);
  segue_free(instance);
  return active == 1 ? 0 : 1;
}
