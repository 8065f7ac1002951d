// The whole story by a generated TypeScript client: node story.js URL ADMIN PASSWORD DIRECTORY
import { Configuration, ConnectionsApi, FoldersApi, MaintenanceApi, QuotaApi, ResponseError, TokenApi, UsersApi } from "./client";

declare const process: { argv: string[]; exit(code: number): never };
const [url, admin, password, directory] = process.argv.slice(2);
const basePath = url + "/api/v2";

function check(ok: boolean, what: string) {
    if (!ok) throw new Error(what);
}

async function story() {
    const token = await new TokenApi(new Configuration({ basePath, username: admin, password })).getToken();
    const bearer = new Configuration({ basePath, accessToken: token.accessToken });
    const folders = new FoldersApi(bearer), users = new UsersApi(bearer), quota = new QuotaApi(bearer);
    await folders.addFolder({ folder: { name: "ts-f", mappedPath: directory + "/ts-f" } });
    const made = await users.addUser({
        user: {
            username: "ts",
            status: 1,
            password: "secret",
            quotaSize: 5 * 2 ** 40,
            permissions: { "/": ["*"] },
            virtualFolders: [{ name: "ts-f", virtualPath: "/f", quotaSize: -1, quotaFiles: -1 }],
        },
    });
    check(made.id! > 0 && made.quotaSize === 5 * 2 ** 40, "made");
    const got = await users.getUserByUsername({ username: "ts" });
    check(got.username === "ts" && got.virtualFolders!.length === 1, "got");
    check((await users.getUsers({ limit: 500 })).some((u) => u.username === "ts"), "users");
    check((await quota.startUserQuotaScan({ username: "ts" })).message === "Scan started", "scan");
    check((await quota.getUserUsage({ username: "ts" })).usedQuotaSize === 0, "usage");
    check(Array.isArray(await new ConnectionsApi(bearer).getConnections()), "connections");
    const dump = await new MaintenanceApi(bearer).dumpdata({ outputData: "1" });
    check(dump.users!.length >= 1 && dump.version === 10, "dump");
    await users.deleteUser({ username: "ts" });
    await folders.deleteFolder({ name: "ts-f" });
    const gone = await users.getUserByUsername({ username: "ts" }).catch((e) => e);
    check(gone instanceof ResponseError && gone.response.status === 404, "still there");
    console.log("story told");
}

story().catch((e) => {
    console.log(e);
    process.exit(1);
});
