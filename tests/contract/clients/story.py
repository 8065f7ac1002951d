"""The whole story by a generated Python client: python story.py URL ADMIN PASSWORD DIRECTORY MODULE"""

import importlib
import sys

url, admin, password, directory, name = sys.argv[1:6]
client = importlib.import_module(name)


def api(kind, token=None, **access):
    configuration = client.Configuration()
    configuration.host = url + "/api/v2"
    for member, value in access.items():
        setattr(configuration, member, value)
    caller = client.ApiClient(configuration)
    if token:  # swagger-codegen's Python knows no bearer
        caller.set_default_header("Authorization", "Bearer " + token)
    return getattr(client, kind)(caller)


bearer = {"token": api("TokenApi", username=admin, password=password).get_token().access_token}
folders, users, quota = api("FoldersApi", **bearer), api("UsersApi", **bearer), api("QuotaApi", **bearer)

folders.add_folder(client.Folder(name="py-f", mapped_path=directory + "/py-f"))
made = users.add_user(
    client.User(
        username="py",
        status=1,
        password="secret",
        quota_size=5 << 40,
        permissions={"/": ["*"]},
        virtual_folders=[client.VirtualFolder(name="py-f", virtual_path="/f", quota_size=-1, quota_files=-1)],
    )
)
assert made.id > 0 and made.quota_size == 5 << 40
got = users.get_user_by_username("py")
assert got.username == "py" and got.virtual_folders[0].mapped_path == directory + "/py-f" and got.permissions == {"/": ["*"]}
assert "py" in [u.username for u in users.get_users(limit=500)]
assert quota.start_user_quota_scan("py").message == "Scan started"
assert quota.get_user_usage("py").used_quota_size == 0
assert isinstance(api("ConnectionsApi", **bearer).get_connections(), list)
maintenance = api("MaintenanceApi", **bearer)
dump = maintenance.dumpdata(output_data="1")
assert "py" in [u.username for u in dump.users] and dump.version == 10
assert maintenance.get_status().data_provider.is_active
assert users.delete_user("py").message == "User deleted"
assert folders.delete_folder("py-f").message == "Folder deleted"
try:
    users.get_user_by_username("py")
    raise SystemExit("it is still there")
except Exception as e:  # each generator has a class of its own
    assert e.status == 404, e
print("story told")
