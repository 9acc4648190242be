// oneccl.cpp - `mpiexec -n N oneccl SECONDS BYTES...`: oneCCL's sum of f32, timed as tools/bench_comm.c times ours.
//
// The first rank prints a line of JSON with the version, then one for each size. Each call has its whole input written
// before it and its whole result read after it; "call" is the call alone, "total" with both; a time is the slowest
// rank's mean over a turn of calls, the median of the turns. A first sum, of whole numbers, is compared with what it
// must be. The launcher must be that of Intel's MPI, through which oneCCL sends. C++ because oneCCL's interface is.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mpi.h>
#include <oneapi/ccl.hpp>
#include <vector>

namespace {
constexpr long turns_least = 7, turns_most = 200, calls_most = 256, call_bytes = 8 << 20;

struct sum {
    ccl::communicator &comm;
    std::vector<float> in, out;
    float checksum = 0; // keeps the reads

    void call() { ccl::allreduce(in.data(), out.data(), in.size(), ccl::reduction::sum, comm).wait(); }

    void write()
    {
        const float mine = static_cast<float>(2 * comm.rank() + 1);
        for (size_t i = 0; i < in.size(); i++) in[i] = mine + static_cast<float>(i & 7);
    }

    float read() const
    {
        float part[16] = {0}, all = 0;
        size_t i = 0;
        for (; i + 16 <= out.size(); i += 16)
            for (int j = 0; j < 16; j++) part[j] += out[i + j];
        for (; i < out.size(); i++) all += out[i];
        for (float p : part) all += p;
        return all;
    }

    void check()
    {
        const float ranks = static_cast<float>(comm.size());
        write();
        call();
        for (size_t i = 0; i < out.size(); i++)
            if (out[i] != ranks * ranks + ranks * static_cast<float>(i & 7)) MPI_Abort(MPI_COMM_WORLD, 1);
    }
};

struct times {
    double call_s, total_s;
};

times turn(sum &s, long calls)
{
    times t{0, 0}, slowest;
    MPI_Barrier(MPI_COMM_WORLD);
    const double from = MPI_Wtime();
    for (long i = 0; i < calls; i++) {
        s.write();
        const double call_from = MPI_Wtime();
        s.call();
        t.call_s += MPI_Wtime() - call_from;
        s.checksum += s.read();
    }
    t.total_s = (MPI_Wtime() - from) / static_cast<double>(calls);
    t.call_s /= static_cast<double>(calls);
    MPI_Allreduce(&t, &slowest, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return slowest;
}

double middle(const std::vector<times> &t, double times::*which)
{
    std::vector<double> all;
    for (const times &one : t) all.push_back(one.*which);
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

void time_sum(ccl::communicator &comm, long bytes, double seconds)
{
    const size_t n = static_cast<size_t>(bytes / 4);
    sum s{comm, std::vector<float>(n), std::vector<float>(n)};
    std::vector<times> all;
    s.check();
    int enough = 0;
    for (const double from = MPI_Wtime(); !enough;) {
        all.push_back(turn(s, std::clamp(call_bytes / bytes, 1L, calls_most)));
        const long turns = static_cast<long>(all.size());
        enough = turns >= turns_most || (turns >= turns_least && MPI_Wtime() - from > seconds);
        MPI_Bcast(&enough, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
    if (comm.rank() == 0)
        std::printf("{\"bytes\": %ld, \"call_s\": %.9g, \"total_s\": %.9g, \"checksum\": %g}\n", bytes,
                    middle(all, &times::call_s), middle(all, &times::total_s), static_cast<double>(s.checksum));
}
} // namespace

int main(int argc, char **argv)
{
    int rank, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    ccl::init();
    ccl::kvs::address_type address;
    ccl::shared_ptr_class<ccl::kvs> meeting;
    if (rank == 0) {
        meeting = ccl::create_main_kvs();
        address = meeting->get_address();
    }
    MPI_Bcast(address.data(), static_cast<int>(address.size()), MPI_BYTE, 0, MPI_COMM_WORLD);
    if (rank > 0) meeting = ccl::create_kvs(address);
    {
        ccl::communicator comm = ccl::create_communicator(ranks, rank, meeting);
        const ccl::library_version v = ccl::get_library_version();
        if (rank == 0) std::printf("{\"version\": \"%u.%u.%u\"}\n", v.major, v.minor, v.update);
        for (int i = 2; i < argc; i++) time_sum(comm, std::atol(argv[i]), std::atof(argv[1]));
    }
    MPI_Finalize();
}
