/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The C ABI of a runtime that a vendor ships as a shared object, level `generate`: OpenAI JSON in,
 * token events out.
 *
 * The agent never loads the object itself: a host process does (`consort host`), one per loaded
 * instance, so a crash costs that instance's requests and nothing else. The object exports one
 * symbol, `consort_runtime`, returning a table that lives as long as the object. Strings are UTF-8,
 * never null unless said, and borrowed: a callee copies what it keeps.
 *
 * Threads: the host calls every function from one thread at a time. Events come back through the
 * sink from any thread of the runtime, one at a time per session; the sink does not block for long
 * and may be called inside `submit`.
 *
 * Time: `cancel` and `stats` return at once, whatever the engine does. A `cancel` that has not
 * returned for 2 s hangs, and so does a `stats` while no request runs: the host ends, and the
 * instance is loaded again. `open` may take as long as plugin.json's `start_timeout`, `submit` as
 * long as a first token is waited for; 2 s after `close` the host is killed.
 *
 * Growth: fields are only appended, and every struct that crosses starts with its own size, so that
 * either side can tell what the other knows. A table of another `abi` is refused.
 */
#ifndef CONSORT_PLUGIN_ABI_H
#define CONSORT_PLUGIN_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CONSORT_ABI 1u
#define CONSORT_RUNTIME_SYMBOL "consort_runtime"

/** What went wrong, for the caller's next step. */
enum consort_status {
  CONSORT_OK = 0,
  CONSORT_REFUSED
  = 1, /**< The request is at fault: bad JSON, wrong type, context overflow. It fails everywhere. */
  CONSORT_BUSY = 2,   /**< No room now; later or elsewhere. */
  CONSORT_FAILED = 3, /**< The device or the runtime is at fault. */
  CONSORT_BAD_MODEL
  = 4 /**< The model or artifact cannot be used here (format, version, target, damage). */
};

enum consort_request_kind { CONSORT_COMPLETION = 0, CONSORT_CHAT = 1, CONSORT_EMBEDDING = 2 };

enum consort_event_kind {
  CONSORT_EVENT_OPENED = 0,      /**< prompt_tokens, cached_tokens are set. Exactly once, first. */
  CONSORT_EVENT_TOKENS = 1,      /**< choice, text, ids, extra_json are set. */
  CONSORT_EVENT_CHOICE_DONE = 2, /**< choice, and text = finish reason. */
  CONSORT_EVENT_COMPLETED = 3,   /**< Terminal: token counts, batch, queue_us are set. */
  CONSORT_EVENT_FAILED = 4       /**< Terminal: status, code, text = message. */
};

/** One event of one request. Fields not named for its kind are zero. */
typedef struct consort_event {
  size_t size; /**< sizeof(consort_event) of the sender. */
  uint64_t request;
  uint32_t kind; /**< enum consort_event_kind */
  uint32_t choice;
  const char* text; /**< Whole UTF-8 characters; not terminated. */
  size_t text_bytes;
  /** Ids behind the text; may run ahead of it. Tell them where you can: they are what a request's
   * limit of tokens is counted by, and without them each event with text counts as one token. */
  const int32_t* token_ids;
  size_t token_count;
  const char* extra_json; /**< JSON object of further fields for the client, or null; terminated. */
  uint32_t prompt_tokens;
  uint32_t completion_tokens;
  uint32_t cached_tokens;
  uint32_t batch; /**< Most sequences decoded beside it, itself included. */
  uint64_t queue_us;
  uint32_t status;  /**< enum consort_status */
  const char* code; /**< Stable word, e.g. `context_overflow`; terminated, or null. */
} consort_event;

/** Where a session's events go. */
typedef struct consort_sink {
  size_t size;
  void* context;
  void (*emit)(void* context, const consort_event* event);
} consort_sink;

/** One request. */
typedef struct consort_request {
  size_t size;
  uint64_t id;      /**< Unique within the session. */
  uint32_t kind;    /**< enum consort_request_kind */
  const char* json; /**< The client's OpenAI body, whole, unknown fields included; terminated. */
  size_t json_bytes;
  const char* resume_text; /**< Text that an earlier attempt already emitted (choice 0), or null;
                              terminated. */
  const int32_t*
      resume_ids; /**< Its token ids, or null. Preferred over the text when both are there. */
  size_t resume_count;
} consort_request;

/** A loaded model on a device; the runtime's own type. */
typedef struct consort_session consort_session;

/** The runtime's functions. Errors put one terminated line into `message` (capacity
 * `message_bytes`). */
typedef struct consort_runtime_table {
  size_t size;
  uint32_t abi;        /**< CONSORT_ABI */
  const char* name;    /**< e.g. `refnpu` */
  const char* version; /**< e.g. `1.2.0` */

  /**
   * Loads a model or artifact. `config_json` is an object: {"model": path, "device": index or uuid,
   * "context": tokens, "sequences": count, "threads": count} and what plugin.json adds under
   * `runtime.config`; absent = runtime's choice. For an instance over several devices also
   * {"devices": [uuids on this node], "tp": devices over all nodes, "first": of ours among them,
   * "rank": of this node (0 leads and takes the requests), "ranks": nodes, "master": "host:port"
   * where the ranks of several nodes meet, or ""}. Beside an engine that binds an architecture
   * {"weights": path of the model}. Where plugin.json says `adapters`, for a model that has some,
   * {"adapters": [{"name", "path"}]}: LoRA adapters that are loaded with it; a request names one as
   * the `model` of its body. Returns a consort_status; on CONSORT_OK *out is
   * a session, to be closed once.
   */
  int (*open)(const char* config_json, const consort_sink* sink, consort_session** out,
              char* message, size_t message_bytes);
  /** Stops all work without further events and frees the session. */
  void (*close)(consort_session* session);
  /**
   * Queues a request. CONSORT_OK: events follow, ending with a terminal one. Otherwise none follow.
   */
  int (*submit)(consort_session* session, const consort_request* request, char* message,
                size_t message_bytes);
  /** Stops a request at the next engine step; its terminal event is FAILED with code `cancelled`,
   * within 2 s. Unknown ids are ignored. Returns at once: it notes the id and does not wait for
   * that step. */
  void (*cancel)(consort_session* session, uint64_t request);
  /**
   * Writes a terminated JSON object of counters and limits: {"sequences_max", "kv_tokens_max",
   * "context_max", "sequences_running", "requests_waiting", "kv_tokens_used",
   * "tokens_generated_total", "prompt_tokens_total", "steps_total", "cancelled_total"}; unknown
   * ones left out. Returns bytes needed, terminator included, and at once: it is asked every
   * second, and cancels wait behind it.
   */
  size_t (*stats)(consort_session* session, char* json, size_t json_bytes);
} consort_runtime_table;

/* --- compilers --- */

#define CONSORT_COMPILER_SYMBOL "consort_compiler"

/** One build. What is left empty plugin.json left out. */
typedef struct consort_compile_job {
  size_t size;        /**< sizeof(consort_compile_job) of the sender. */
  const char* model;  /**< Path of the weights. */
  const char* output; /**< To be made, as a file or a folder. */
  const char* work;   /**< A folder for scratch files, removed afterwards. */
  const char* target; /**< Device model that it is for. */
  const char* dtype;
  const char* flags;
  const char* devices;     /**< Uuids of the devices held for it, with commas. */
  const char* config_json; /**< `library_config` of the entry of `build`: an object. */
  uint32_t degree;         /**< Ranks. */
  void* context;
  /** How far it is, per mille; may be called from any thread, any number of times. */
  void (*progress)(void* context, uint32_t done_pm);
  /** One figure that describes the result; each name once. */
  void (*quality)(void* context, const char* name, const char* value);
} consort_compile_job;

/**
 * A compiler that a vendor ships as a shared object, which may be the runtime's or another one. The
 * object exports `consort_compiler`. Every build runs in a process of its own, which is killed when
 * the build is cancelled, overruns a limit, or the agent dies; a crash fails that build alone.
 */
typedef struct consort_compiler_table {
  size_t size;
  uint32_t abi;        /**< CONSORT_ABI */
  const char* name;    /**< e.g. `refnpu-cc` */
  const char* version; /**< Part of what its artifacts are: `1.2.0` */
  /**
   * Builds. Returns a consort_status: CONSORT_OK when `output` is there; CONSORT_REFUSED or
   * CONSORT_BAD_MODEL fail everywhere and are not tried again, CONSORT_BUSY is tried later,
   * CONSORT_FAILED on another node. Otherwise one terminated line in `message`.
   */
  int (*compile)(const consort_compile_job* job, char* message, size_t message_bytes);
} consort_compiler_table;

/** Type of the exported symbol `consort_compiler`. */
typedef const consort_compiler_table* (*consort_compiler_fn)(void);

/** Type of the exported symbol `consort_runtime`. */
typedef const consort_runtime_table* (*consort_runtime_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
