// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whose page has a browser command this cluster. There is no key that a browser would not have, so
/// `Origin` and `Host` decide; programs name no origin. Pure.

#include "gateway/http.hpp"

namespace consort::gateway {

/// Whether a page of another site has a browser send this. A page that we served, also through a
/// proxy that keeps the host, names ours as its origin. So does a stranger's page whose own name
/// was made to mean this machine after it was loaded (DNS rebinding); a name that a stranger could
/// own is ours only when it is among `names`.
[[nodiscard]] bool of_another_site(const http_request& request,
                                   const std::vector<std::string>& names);

/// Whether somebody else could own the name of `host[:port]`: neither an address nor without a dot
/// nor under a domain that is kept for private use.
[[nodiscard]] bool public_name(std::string_view host);

} // namespace consort::gateway
