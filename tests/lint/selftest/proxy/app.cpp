auto a = asio::detached;
