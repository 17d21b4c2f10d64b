/* SPDX-License-Identifier: Apache-2.0 */
/* A vendor's compiler as a shared object, in plain C: writes engines for tests/plugins/fakeserve. What the file
 * `fault` in the folder of its configuration says, it does: crash, refuse, busy, fail, hang, lie. Built with
 * FAKE_ABI, FAKE_CRASH or FAKE_HANG it is no compiler for us. */
#include "node/plugin_abi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef FAKE_ABI
#define FAKE_ABI CONSORT_ABI
#endif

/* The one text of {"folder": "..."}. */
static void folder_of(const char* json, char* out, size_t bytes) {
  const char* start = strstr(json, "\"folder\":\"");
  size_t size = 0;
  out[0] = '\0';
  if (start == NULL)
    return;
  start += strlen("\"folder\":\"");
  while (start[size] != '\0' && start[size] != '"' && size + 1 < bytes)
    ++size;
  memcpy(out, start, size);
  out[size] = '\0';
}

static void read_fault(const char* folder, char* out, size_t bytes) {
  char path[4096];
  FILE* file;
  out[0] = '\0';
  snprintf(path, sizeof path, "%s/fault", folder);
  file = fopen(path, "r");
  if (file == NULL)
    return;
  if (fgets(out, (int)bytes, file) == NULL)
    out[0] = '\0';
  out[strcspn(out, "\n")] = '\0';
  fclose(file);
}

static void note(const char* folder, const char* what) {
  char path[4096];
  FILE* file;
  snprintf(path, sizeof path, "%s/compiles", folder);
  file = fopen(path, "a");
  if (file != NULL) {
    fprintf(file, "%s %ld\n", what, (long)getpid());
    fclose(file);
  }
}

static int compile(const consort_compile_job* job, char* message, size_t message_bytes) {
  char folder[4096], fault[64];
  FILE* file;
  folder_of(job->config_json, folder, sizeof folder);
  read_fault(folder, fault, sizeof fault);
  note(folder, fault[0] == '\0' ? "build" : fault);
  job->progress(job->context, 250);
  if (strcmp(fault, "crash") == 0)
    abort();
  if (strcmp(fault, "hang") == 0)
    for (;;)
      sleep(1);
  if (strcmp(fault, "lie") == 0)
    return CONSORT_OK;
  if (strcmp(fault, "refuse") == 0 || strcmp(fault, "busy") == 0 || strcmp(fault, "fail") == 0) {
    snprintf(message, message_bytes, "the library says %s", fault);
    return fault[0] == 'r' ? CONSORT_REFUSED : fault[0] == 'b' ? CONSORT_BUSY : CONSORT_FAILED;
  }
  file = fopen(job->output, "w");
  if (file == NULL)
    return CONSORT_FAILED;
  fprintf(file, "FAKE SHAPE 1 of %s\n", job->target);
  fclose(file);
  job->quality(job->context, "error_max", "0.01");
  job->progress(job->context, 1000);
  return CONSORT_OK;
}

__attribute__((visibility("default"))) const consort_compiler_table* consort_compiler(void) {
  static const consort_compiler_table table = {sizeof table, FAKE_ABI, "fake-lib-cc", "2.3.1", compile};
#ifdef FAKE_CRASH
  abort();
#endif
#ifdef FAKE_HANG
  for (;;)
    sleep(1);
#endif
  return &table;
}
