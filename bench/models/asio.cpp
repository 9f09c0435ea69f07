/*
 * asio.cpp: Asio (C++), the proactor: operations are started, completions call back.
 *
 * How: each connection is an object that keeps itself alive by the callbacks it waits for: read some, answer,
 * write all, read some. The library tries each operation at once and turns to epoll when it would block. Limits:
 * a read that has been started holds its buffer until it completes, so each idle connection holds one; lifetimes
 * are counted; the compiler takes its time and its messages are long. Right in C++ programs, portable ones above
 * all: it maps to completion ports on Windows and is the base of the standard's networking proposal.
 */
#include "model.h"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace {

class session : public std::enable_shared_from_this<session> {
  public:
    explicit session(asio::ip::tcp::socket socket) : socket_(std::move(socket))
    {
    }

    void read()
    {
        auto self = shared_from_this();
        socket_.async_read_some(asio::buffer(in_.data() + len_, in_.size() - len_),
                                [self](const std::error_code &error, std::size_t got) {
                                    if (!error)
                                        self->answer(got);
                                });
    }

  private:
    /* Where neither a read nor a write is started, the last reference goes and the socket is closed. */
    void answer(std::size_t got)
    {
        std::size_t used, out_len;

        len_ += got;
        if (out_.size() < WIRE_REPLIES(len_))
            out_.resize(WIRE_REPLIES(len_));
        bool bad = wire_answer(in_.data(), len_, &used, out_.data(), &out_len) != 0;
        len_ -= used;
        std::memmove(in_.data(), in_.data() + used, len_);
        if (out_len > 0)
            write(out_len, bad);
        else if (!bad)
            read();
    }

    void write(std::size_t out_len, bool last)
    {
        auto self = shared_from_this();
        asio::async_write(socket_, asio::buffer(out_.data(), out_len),
                          [self, last](const std::error_code &error, std::size_t) {
                              if (!error && !last)
                                  self->read();
                          });
    }

    asio::ip::tcp::socket socket_;
    std::size_t len_ = 0; /* bytes of an unfinished packet in in_ */
    std::vector<ubyte> out_;
    std::array<ubyte, 2 * WIRE_PACKET_MAX> in_; /* as much again as the longest packet */
};

class server {
  public:
    server(asio::io_context &io, int listener) : acceptor_(io, asio::ip::tcp::v4(), listener), pause_(io)
    {
        accept();
    }

  private:
    void accept()
    {
        acceptor_.async_accept([this](const std::error_code &error, asio::ip::tcp::socket socket) {
            if (!error)
                std::make_shared<session>(std::move(socket))->read();
            if (error == asio::error::no_descriptors)
                accept_later();
            else
                accept();
        });
    }

    /* Out of descriptors: trying again at once would spin. */
    void accept_later()
    {
        pause_.expires_after(std::chrono::milliseconds(20));
        pause_.async_wait([this](const std::error_code &) { accept(); });
    }

    asio::ip::tcp::acceptor acceptor_;
    asio::steady_timer pause_;
};

} // namespace

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, 0);
    asio::io_context io(1); /* one thread will run it */
    server all(io, listener);

    io.run();
    return 1;
}
