#include "proxy/net/blocks.hpp"

namespace larder::proxy {

asio::execution_context::id Blocks::id;

}  // namespace larder::proxy
