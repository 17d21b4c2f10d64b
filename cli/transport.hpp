// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The client's transport under the names that commands use.

#include "client/http_client.hpp"

namespace consort::cli {

using transport::http_answer;
using transport::http_client;
using transport::http_headers;
using transport::http_request;
using transport::http_target;
using transport::parse_url;

} // namespace consort::cli
